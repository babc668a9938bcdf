"""Styles of the stage: waltz, blues, bossa nova, chorale."""

from evaluation.compose.writing.style import Sound, Style, Voice

# One line per seat of the band: the records read as tables.
# fmt: off
WALTZ = Style(
    name="waltz",
    bpm=(84, 176),
    beats=3,
    modes=("major", "major", "minor"),
    progressions={
        "major": ("I V7 V7 I", "I VIm IIm V7", "I I IV V7", "I IV V7 I", "I I7 IV IVm I V7 I I"),
        "minor": ("Im IVm V7 Im", "Im Im V7 Im", "Im bVI IVm V7", "Im bVII bVI V7"),
    },
    melody_scales={"minor": ("harmonic_minor", "minor")},
    grooves=(
        {"kick": "x...........", "snare": "....o...o..."},
        {"kick": "x...........", "hat": "....x...x...", "ride": "x..........."},
        {"ride": "x...x.o.x...", "kick": "o...........", "rim": "........o..."},
    ),
    voices=(
        Voice("bass", ("upright_bass", "upright_bass", "strings", "electric_bass", "piano"), 36, 52,
              ("1-----......", "1---........", "1-------5---"), -4, 0.2),
        Voice("comp", ("piano", "piano", "accordion", "accordion", "nylon_guitar", "strings"), 52, 74,
              ("....x-..x-..", "....x---x---", "....x.x.x..."), -5, 0.35),
        Voice("melody", ("strings", "accordion", "clarinet", "flute", "piano", "brass"), 64, 86,
              ("x-------x---", "x---x---x---", "x-----x-x---", "x-x-x---x---"), -3, 0.45),
        Voice("pad", ("strings", "organ", "choir"), 50, 72, (), -10, 0.5, 0.4),
        Voice("drums", ("brushes", "brushes", "drum_kit"), level_db=-6, send=0.2, chance=0.65),
    ),
    ending=True,
    sound=Sound(room_seconds=(0.6, 2.2), room_level=(0.12, 0.4), wow_cents=(0.0, 4.0), crackle=(0.0, 0.35)),
)

BLUES = Style(
    name="blues",
    bpm=(72, 148),
    modes=("mixolydian", "mixolydian", "minor"),
    progressions={
        "mixolydian": (
            "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7",
            "I7 V7 IV7 IV7 I7 V7 I7/IV7 I7/V7",
            "I7 IV7 I7/IV7 I7/V7",
        ),
        "minor": ("Im7 Im7 IVm7 Im7 bVI7/V7 Im7", "Im7 IVm7 Im7 V7"),
    },
    melody_scales={"mixolydian": ("blues",), "minor": ("blues", "minor_pentatonic")},
    swing=(0.6, 0.68),
    grooves=(
        {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "x.....o.x.......", "snare": "....X.......X...", "ride": "x...x.o.x...x.o."},
        {"ride": "x...x.x.x...x.x.", "kick": "o...o...o...o...", "rim": "....x.......x..."},
    ),
    voices=(
        Voice("walk", ("upright_bass", "upright_bass", "electric_bass"), 36, 55, (), -3, 0.1),
        Voice("comp", ("piano", "organ", "organ", "electric_guitar", "electric_guitar"), 50, 70,
              ("....x-......x-..", "x-..x-..x-..x-..", "..x-....x-x-....", "x-----..x-x-...."), -5, 0.3),
        Voice("melody", ("electric_guitar", "electric_guitar", "electric_guitar", "clarinet", "piano", "brass"), 60, 82,
              ("..x-x-x-x---....", "x-x-x---..x-x-x-", "....x-x-x-----..", "x---....x-x-x-x-"), -4, 0.4),
        Voice("drums", ("drum_kit", "drum_kit", "drum_kit", "brushes"), level_db=-2, send=0.15, chance=0.9),
    ),
    ending=True,
    sound=Sound(room_seconds=(0.3, 1.0), room_level=(0.1, 0.3), drive=(0.3, 1.2), lowpass_hz=(6000, 16000),
                crackle=(0.0, 0.35), echo_level=(0.0, 0.15)),
)

BOSSA_NOVA = Style(
    name="bossa_nova",
    bpm=(104, 152),
    modes=("major", "major", "minor"),
    progressions={
        "major": ("Imaj7 Imaj7 IIm7 V7", "Imaj9 VIm7 IIm9 V7", "Imaj7 bVII7 IIm7 V7", "Imaj7 IIm7 IIIm7 IIm7/V7"),
        "minor": ("Im9 IVm7 V7 Im6", "Im7 bVImaj7 IIm7b5 V7", "Im6 Im6 IIm7b5 V7"),
    },
    melody_scales={"minor": ("harmonic_minor", "minor")},
    grooves=(
        {"rim": "x..x..x...x..x..", "shaker": "xoxoxoxoxoxoxoxo", "kick": "x..ox..ox..ox..o"},
        {"rim": "..x...x..x..x...", "hat": "xoxoxoxoxoxoxoxo", "kick": "x..ox..ox..ox..o"},
        {"shaker": "xooxxooxxooxxoox", "tom": "......x.......xx", "kick": "x.......x......."},
    ),
    voices=(
        Voice("comp", ("nylon_guitar", "nylon_guitar", "nylon_guitar", "nylon_guitar", "piano"), 50, 72,
              ("x-.x--x-..x--x-.", "x--x---.x--x--..", "..x--x-..x--x-x-"), -3, 0.3),
        Voice("bass", ("upright_bass", "upright_bass", "electric_bass"), 34, 52,
              ("1-----5-5-----1-", "1--.--5-5--...5-", "1-----5-8-----5-"), -4, 0.08),
        Voice("melody", ("flute", "vibraphone", "clarinet", "piano", "electric_guitar"), 62, 84,
              ("x-x--x----x-x---", "..x--x--x-----..", "x-----x--x--x---"), -4, 0.45, 0.9),
        Voice("drums", ("percussion", "percussion", "percussion", "brushes"), level_db=-1, send=0.2, chance=0.95),
        Voice("pad", ("strings", "organ", "synth_pad"), 52, 74, (), -10, 0.5, 0.35),
    ),
    ending=True,
    sound=Sound(room_seconds=(0.4, 1.4), lowpass_hz=(7000, 17000), crackle=(0.0, 0.2), wow_cents=(0.0, 4.0)),
)

CHORALE = Style(
    name="chorale",
    bpm=(56, 108),
    modes=("major", "minor", "dorian"),
    progressions={
        "major": ("I/IV V/I IV/IIm V/I", "I VIm IIm/V I", "I/V VIm/IIIm IV/I IV/V", "I/IIm V I/IV V"),
        "minor": ("Im/IVm V/Im bVI/IVm V", "Im bVI IVm V", "Im/V Im/bVII bIII/IVm V"),
        "dorian": ("Im/IV bVII/Im Im/Vm IV/Im", "Im bVII IV Im"),
    },
    melody_scales={"minor": ("harmonic_minor", "minor")},
    grooves=({"tom": "x..............."}, {"ride": "x...............", "tom": "........o...x..."}),
    voices=(
        Voice("comp", ("strings", "choir", "organ", "brass"), 50, 72,
              ("x---x---x---x---", "x-------x-------", "x-------x---x---"), -3, 0.5),
        Voice("melody", ("strings", "choir", "flute", "brass", "clarinet", "organ"), 64, 82,
              ("x---x---x---x---", "x-----x-x---x---", "x---x-x-x-------"), -3, 0.5),
        Voice("bass", ("strings", "choir", "organ", "brass"), 36, 52,
              ("1---3---5---1---", "1-------5-------", "1---5---8---5---"), -4, 0.4),
        Voice("arp", ("nylon_guitar", "piano", "vibraphone", "flute"), 60, 84,
              ("x.x.x.x.x.x.x.x.", "x...x...x...x..."), -8, 0.5, 0.35),
        Voice("hits", ("timpani",), 38, 50, ("1...............", "1.......1.......", "1.......5.555..."), -7, 0.5, 0.4),
        Voice("drums", ("drum_kit", "percussion"), level_db=-12, send=0.5, chance=0.2),
    ),
    ending=True,
    sound=Sound(room_seconds=(1.2, 3.0), room_level=(0.2, 0.4), drive=(0.0, 0.2), wow_cents=(0.0, 3.0)),
)
