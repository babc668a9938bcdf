#!/usr/bin/env bash
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 numpy==2.3.4
# Speech and music encoders of the HuBERT family come in two kinds: with do_stable_layer_norm (the large ones, MERT-v1-330M
# among them) a layer norm follows the last layer. Who probes layer by layer takes hidden_states[i], and expects the last
# of them to be last_hidden_state, as it is without that setting and in BERT: with it, the norm is missing there.
cd "$work" && venv/bin/python - <<'PYTHON' 2> /dev/null
import platform, sys
import torch, transformers
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model

print("python", platform.python_version(), "torch", torch.__version__, "transformers", transformers.__version__)
small = dict(
    hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, conv_dim=(16, 16),
    conv_stride=(5, 2), conv_kernel=(10, 3), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
)
waveform = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
found = {}
for kind, config in ((HubertModel, HubertConfig), (Wav2Vec2Model, Wav2Vec2Config)):
    for stable in (False, True):
        torch.manual_seed(0)
        extractor = {"feat_extract_norm": "layer"} if stable else {}
        model = kind(config(do_stable_layer_norm=stable, **small, **extractor)).eval()
        with torch.no_grad():
            out = model(waveform, output_hidden_states=True)
        apart = (out.hidden_states[-1] - out.last_hidden_state).abs().max().item()
        normed = model.encoder.layer_norm(out.hidden_states[-1]) if stable else out.hidden_states[-1]
        same = torch.allclose(normed, out.last_hidden_state, atol=1e-5)
        found[kind.__name__, stable] = apart
        print(kind.__name__, "do_stable_layer_norm", stable, "hidden states", len(out.hidden_states),
              f"last of them less last_hidden_state, at most: {apart:.3f}", "; equal after the norm:", same)
print("expected: 0 in all cases")
sys.exit(not (found["HubertModel", False] == 0.0 and found["HubertModel", True] > 0.1))
PYTHON
