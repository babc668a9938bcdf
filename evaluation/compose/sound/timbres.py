"""The instruments, as records. The name is the label that a track carries."""

from evaluation.compose.sound.tone import Timbre

# One block per instrument: the records read as a table.
# fmt: off
_CHOIR = ((600.0, 180.0, 1.0), (1040.0, 200.0, 0.5), (2600.0, 400.0, 0.2))
_VIOLIN = ((450.0, 250.0, 0.8), (1100.0, 500.0, 0.8), (2800.0, 900.0, 0.5))
_ROD = (1.0, 0.28, 0.06, 0.03, 0.0, 0.02, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.08, 0.06)
_DRAWBARS = (0.8, 1.0, 0.7, 0.5, 0.0, 0.3, 0.0, 0.35)
_BAR = (1.0, 0.0, 0.0, 0.35, 0.0, 0.0, 0.0, 0.0, 0.0, 0.08)
_BELL = (0.0, 1.0, 0.0, 0.0, 0.6, 0.0, 0.0, 0.35, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.12)

TIMBRES: dict[str, Timbre] = {
    "piano": Timbre(
        rolloff=1.1, cutoff=(5000, 900, 0.6), decay=1.6, damping=0.14, release=0.2, unison=2, detune_cents=1.2,
        strike=0.25,
    ),
    "electric_piano": Timbre(partials=_ROD, decay=1.4, damping=0.5, release=0.18, unison=2, detune_cents=3),
    "organ": Timbre(partials=_DRAWBARS, attack=0.01, release=0.06, vibrato_cents=6, vibrato_hz=6.4, strike=0.1),
    "accordion": Timbre(
        rolloff=0.8, cutoff=(3800, 3800, 1), attack=0.05, release=0.08, unison=2, detune_cents=7,
        formants=((800, 500, 0.8), (2200, 700, 0.5)),
    ),
    "nylon_guitar": Timbre(
        rolloff=1.3, cutoff=(3600, 700, 0.25), decay=0.9, damping=0.25, release=0.12, strike=0.2,
        formants=((200, 120, 0.9), (420, 250, 0.5), (1500, 1200, 0.4)),
    ),
    "electric_guitar": Timbre(
        rolloff=0.9, cutoff=(4200, 1500, 0.5), decay=1.5, damping=0.12, release=0.1, strike=0.15,
        vibrato_cents=5, formants=((700, 500, 0.7), (2400, 900, 0.7)),
    ),
    "upright_bass": Timbre(
        rolloff=1.5, cutoff=(2200, 500, 0.12), decay=0.5, damping=0.15, release=0.1, attack=0.008, strike=0.15,
    ),
    "electric_bass": Timbre(
        rolloff=1.0, cutoff=(2600, 800, 0.3), decay=0.9, damping=0.1, release=0.07, strike=0.1,
    ),
    "synth_bass": Timbre(
        rolloff=1.0, cutoff=(3000, 500, 0.12), resonance=1.2, decay=2.5, release=0.05, unison=2, detune_cents=8,
    ),
    "strings": Timbre(
        rolloff=1.0, cutoff=(4500, 4500, 1), formants=_VIOLIN, attack=0.13, release=0.3, unison=3,
        detune_cents=9, vibrato_cents=9, vibrato_hz=5.4, breath=0.02,
    ),
    "choir": Timbre(
        rolloff=1.0, cutoff=(5000, 5000, 1), formants=_CHOIR, attack=0.16, release=0.35, unison=3,
        detune_cents=12, vibrato_cents=14, vibrato_hz=5.0, breath=0.03,
    ),
    "brass": Timbre(
        rolloff=0.9, cutoff=(700, 3000, 0.12), attack=0.04, release=0.1, unison=2, detune_cents=5,
        vibrato_cents=5, formants=((900, 700, 0.8), (2000, 900, 0.3)),
    ),
    "flute": Timbre(
        partials=(1.0, 0.45, 0.2, 0.06, 0.03), attack=0.06, release=0.1, vibrato_cents=12, breath=0.09,
    ),
    "clarinet": Timbre(
        rolloff=1.0, even=0.12, cutoff=(1200, 2600, 0.1), attack=0.03, release=0.07, vibrato_cents=4,
        breath=0.03,
    ),
    "vibraphone": Timbre(partials=_BAR, decay=1.5, damping=0.4, release=0.4, strike=0.1),
    "bell": Timbre(partials=_BELL, divide=2, decay=1.3, damping=0.12, release=0.5),
    "synth_pad": Timbre(
        rolloff=1.0, cutoff=(900, 2200, 1.5), attack=0.35, release=0.7, unison=3, detune_cents=14,
    ),
    "synth_lead": Timbre(
        rolloff=1.0, cutoff=(4500, 1500, 0.2), resonance=0.8, attack=0.006, decay=3.0, release=0.08, unison=2,
        detune_cents=10, vibrato_cents=6,
    ),
    "pulse_lead": Timbre(rolloff=1.0, duty=0.25, attack=0.002, decay=4.0, release=0.02, vibrato_cents=7),
    "square_lead": Timbre(rolloff=1.0, duty=0.5, attack=0.002, decay=4.0, release=0.02, vibrato_cents=5),
    "triangle_bass": Timbre(rolloff=2.0, even=0.0, attack=0.002, release=0.02),
    "timpani": Timbre(
        partials=(1.0, 0.7, 0.4, 0.2, 0.1), decay=0.7, damping=0.3, release=0.4, strike=0.5,
    ),
}
