"""The part of the pages that says how the model learnt."""

from collections.abc import Sequence

from evaluation.figures.html import curves
from evaluation.report.markup import Html, html
from evaluation.report.records import Epoch


def section(epochs: Sequence[Epoch]) -> Html:
    if not epochs:
        return html(
            '<section id="training"><h2>How it learnt</h2><p>There is no training history.</p></section>'
        )
    model = next((epoch for epoch in epochs if epoch.is_model), epochs[-1])
    lines = [("bound, songs it learns from", "first", [e.bound for e in epochs])]
    heldout: list[float | None] = [e.heldout for e in epochs]
    drawn = (
        [*lines, ("score, songs kept aside", "other", heldout)]
        if any(h is not None for h in heldout)
        else lines
    )
    fit = f"The model, after epoch {model.epoch} of {len(epochs)}: bound {model.bound:.2f} nats per frame" + (
        f", held-out {model.heldout:.2f}" if model.heldout is not None else ""
    )
    used = f"In the model, {model.components} components carry 99 % of the weight"
    return html(
        '<section id="training"><h2>How it learnt</h2><p>In every epoch the model goes through all songs once. '
        "Higher is better on the left: the sounds surprise it less. The bound is what training pushes up, a cautious "
        "estimate; the score of songs kept aside shows whether what it learns is general.</p>"
        '<div class="panels"><figure><h3>How well it explains a frame, nats</h3>{}<figcaption>{}.</figcaption>'
        "</figure><figure><h3>Components in use</h3>{}<figcaption>{}.</figcaption></figure></div></section>",
        curves(drawn, 1, f"Curve over epochs. {fit}."), fit,
        curves([("carry 99 % of the weight", "first", [float(e.components) for e in epochs])], 0, f"Curve. {used}."),
        used,
    )  # fmt: skip
