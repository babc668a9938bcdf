"""The drum kits. All kits answer to the same names, so any groove can be played on any of them."""

from evaluation.compose.sound.drums import Drum

# fmt: off
_HAT = Drum(band=(6000, 15000), noise_level=0.8, noise_decay=0.025, level=0.5)
_OPEN = Drum(band=(5500, 15000), noise_level=0.7, noise_decay=0.14, level=0.5)
_SHAKER = Drum(band=(4000, 11000), noise_level=0.8, noise_decay=0.035, level=0.4)

KITS: dict[str, dict[str, Drum]] = {
    "drum_machine": {
        "kick": Drum(hertz=48, start_hz=230, tone_decay=0.17, band=(800, 6000), noise_level=0.2, noise_decay=0.006),
        "snare": Drum(hertz=185, start_hz=240, tone_decay=0.06, noise_level=0.7, noise_decay=0.09, level=0.8),
        "clap": Drum(band=(700, 5000), noise_level=1.0, noise_decay=0.06, bursts=3, level=0.8),
        "hat": _HAT,
        "open": _OPEN,
        "rim": Drum(hertz=1700, tone_decay=0.012, band=(1500, 7000), noise_level=0.3, noise_decay=0.01, level=0.5),
        "tom": Drum(hertz=95, start_hz=170, tone_decay=0.16, level=0.8),
        "ride": Drum(band=(5000, 12000), noise_level=0.5, noise_decay=0.3, level=0.3),
        "shaker": _SHAKER,
    },
    "drum_kit": {
        "kick": Drum(hertz=58, start_hz=130, tone_decay=0.12, band=(300, 4000), noise_level=0.3, noise_decay=0.012),
        "snare": Drum(hertz=200, start_hz=220, tone_decay=0.07, band=(900, 9000),
                      noise_level=0.8, noise_decay=0.1, level=0.7),
        "clap": Drum(hertz=210, tone_decay=0.05, band=(1200, 8000), noise_level=0.7, noise_decay=0.05, level=0.6),
        "hat": Drum(band=(5000, 13000), noise_level=0.7, noise_decay=0.035, level=0.4),
        "open": Drum(band=(4500, 13000), noise_level=0.6, noise_decay=0.18, level=0.4),
        "rim": Drum(hertz=850, tone_decay=0.02, band=(900, 5000), noise_level=0.4, noise_decay=0.012, level=0.5),
        "tom": Drum(hertz=115, start_hz=140, tone_decay=0.18, band=(200, 2000),
                    noise_level=0.2, noise_decay=0.03, level=0.8),
        "ride": Drum(hertz=3300, tone_decay=0.12, band=(4000, 12000), noise_level=0.5, noise_decay=0.28, level=0.28),
        "shaker": _SHAKER,
    },
    "brushes": {
        "kick": Drum(hertz=62, start_hz=100, tone_decay=0.09, level=0.6),
        "snare": Drum(hertz=190, tone_decay=0.04, band=(1500, 9000), noise_level=0.6, noise_decay=0.12, level=0.5),
        "clap": Drum(band=(1500, 9000), noise_level=0.7, noise_decay=0.07, level=0.5),
        "hat": Drum(band=(5000, 12000), noise_level=0.5, noise_decay=0.03, level=0.35),
        "open": Drum(band=(2500, 9000), noise_level=0.5, noise_decay=0.2, level=0.35),
        "rim": Drum(hertz=900, tone_decay=0.015, level=0.35),
        "tom": Drum(hertz=105, start_hz=120, tone_decay=0.15, level=0.6),
        "ride": Drum(hertz=3100, tone_decay=0.1, band=(4000, 11000), noise_level=0.5, noise_decay=0.3, level=0.25),
        "shaker": Drum(band=(2000, 9000), noise_level=0.6, noise_decay=0.09, level=0.35),
    },
    "percussion": {
        "kick": Drum(hertz=80, start_hz=110, tone_decay=0.12, level=0.6),
        "snare": Drum(hertz=330, start_hz=380, tone_decay=0.06, band=(1000, 5000),
                      noise_level=0.2, noise_decay=0.02, level=0.5),
        "clap": Drum(hertz=420, start_hz=450, tone_decay=0.05, level=0.4),
        "hat": _SHAKER,
        "open": Drum(band=(4500, 12000), noise_level=0.5, noise_decay=0.09, level=0.4),
        "rim": Drum(hertz=2100, tone_decay=0.02, level=0.35),
        "tom": Drum(hertz=210, start_hz=240, tone_decay=0.1, level=0.6),
        "ride": Drum(hertz=2400, tone_decay=0.25, level=0.12),
        "shaker": _SHAKER,
    },
    "chip_drums": {
        "kick": Drum(hertz=60, start_hz=420, tone_decay=0.07, level=0.9),
        "snare": Drum(band=(400, 9000), noise_level=0.8, noise_decay=0.06, hold=6, level=0.7),
        "clap": Drum(band=(400, 9000), noise_level=0.7, noise_decay=0.04, hold=8, level=0.6),
        "hat": Drum(band=(3000, 15000), noise_level=0.7, noise_decay=0.018, hold=2, level=0.5),
        "open": Drum(band=(3000, 15000), noise_level=0.6, noise_decay=0.07, hold=2, level=0.5),
        "rim": Drum(hertz=900, tone_decay=0.02, level=0.4),
        "tom": Drum(hertz=130, start_hz=400, tone_decay=0.07, level=0.7),
        "ride": Drum(band=(4000, 15000), noise_level=0.5, noise_decay=0.1, hold=2, level=0.3),
        "shaker": Drum(band=(3000, 15000), noise_level=0.5, noise_decay=0.02, hold=2, level=0.35),
    },
}
# fmt: on
