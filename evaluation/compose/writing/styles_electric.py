"""Styles of the studio: techno, drum and bass, ambient, chiptune, lo-fi, dub."""

from evaluation.compose.writing.style import Sound, Style, Voice

# One line per seat of the band: the records read as tables.
# fmt: off
_MINOR_DANCE = ("Im", "Im7 Im7 bVImaj7 bVII", "Im bVI IVm Vm", "Im7 IVm7", "Im Im bIII bVII")

_DORIAN_DANCE = ("Im7 IV", "Im9 Im9 IV IV", "Im7 bVII IV Im7")

TECHNO = Style(
    name="techno",
    bpm=(118, 140),
    modes=("minor", "minor", "dorian"),
    progressions={"minor": _MINOR_DANCE, "dorian": _DORIAN_DANCE},
    grooves=(
        {"kick": "X...x...x...x...", "open": "..x...x...x...x.", "clap": "....x.......x..."},
        {"kick": "X...x...x...x...", "hat": "x.o.x.o.x.o.x.o.", "open": "..x...x...x...x.", "rim": "...o......o....."},
        {"kick": "X...x...x...x..o", "hat": "oooxoooxoooxooox", "clap": "....X.......X..o"},
        {"kick": "X...x...x...x...", "shaker": "x.xox.xox.xox.xo", "snare": "....x.......x..."},
    ),
    voices=(
        Voice("drums", ("drum_machine",), level_db=1, send=0.1),
        Voice("bass", ("synth_bass", "synth_bass", "synth_bass", "triangle_bass"), 33, 50,
              ("..1...1...1...1.", "..11..11..11..18", ".11..11..11..15.", "1..1..1.1..1..8."), -3, 0.02),
        Voice("comp", ("synth_pad", "synth_pad", "organ", "piano"), 52, 74,
              ("...x..x....x..x.", "..x...x...x...x.", "x..x..x...x..x..", "x--x--......x---"), -6, 0.5, 0.85),
        Voice("arp", ("synth_lead", "bell", "electric_piano", "vibraphone", "pulse_lead"), 60, 84,
              ("x.xx.xx.x.xx.xx.", "xxxxxxxxxxxxxxxx", "x..x..x.x..x..x."), -11, 0.5, 0.7),
        Voice("pad", ("synth_pad", "strings", "choir"), 50, 72, (), -10, 0.6, 0.5),
    ),
    sound=Sound(room_seconds=(0.5, 1.8), echo_level=(0.0, 0.45), pump=(0.2, 0.75), drive=(0.1, 0.9)),
)

DRUM_AND_BASS = Style(
    name="drum_and_bass",
    bpm=(160, 178),
    modes=("minor", "minor", "dorian"),
    progressions={
        "minor": (*_MINOR_DANCE, "Im9 Im9 bVImaj7 bVImaj7", "Im7 Vm7 bVImaj7 IVm7"),
        "dorian": _DORIAN_DANCE,
    },
    grooves=(
        {"kick": "X.........x.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "X.x.......x.....", "snare": "....X..o.o..X..o", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "X.....x...x.....", "snare": "....X..o....X.o.", "ride": "x...x...x...x...",
         "shaker": "oxoxoxoxoxoxoxox"},
        {"kick": "X.x.......xx....", "snare": "....X..o.o..X...", "hat": "xoxoxoxoxoxoxoxo",
         "open": "..............x."},
    ),
    voices=(
        Voice("drums", ("drum_kit", "drum_kit", "drum_kit", "drum_machine"), level_db=1, send=0.12),
        Voice("bass", ("synth_bass", "synth_bass", "synth_bass", "electric_bass"), 31, 48,
              ("1-----------5---", "1-----1...8.5...", "1.....1...1..7..", "1--.1--.8-..5-.."), -2, 0.03),
        Voice("pad", ("synth_pad", "strings", "choir"), 52, 74, (), -7, 0.6, 0.9),
        Voice("comp", ("electric_piano", "piano", "organ", "vibraphone"), 55, 76,
              ("x------.....x---", "x.....x.....x...", "...x---....x----"), -7, 0.5, 0.65),
        Voice("melody", ("bell", "synth_lead", "flute", "brass", "vibraphone"), 64, 84,
              ("x-------x---x---", "x-----x-----....", "....x---x-x-x---"), -10, 0.55, 0.5),
    ),
    sound=Sound(room_seconds=(0.5, 2.0), echo_level=(0.0, 0.3), pump=(0.0, 0.35), drive=(0.1, 0.8)),
)

AMBIENT = Style(
    name="ambient",
    bpm=(54, 92),
    modes=("major", "dorian", "minor"),
    progressions={
        "major": ("Imaj7 IVmaj7", "Iadd9 VIm7 IVmaj7 Vsus4", "Imaj9 Imaj9 IVmaj7 IIm7", "Isus2 IV VIm Vsus4"),
        "minor": ("Im9 bVImaj7", "Im7 bIIImaj7 bVImaj7 IVm7", "Im bVI"),
        "dorian": ("Im9 IV", "Im7 Im7 IV bVIIadd9"),
    },
    grooves=(
        {"kick": "x...............", "shaker": "o.o.o.o.o.o.o.o.", "rim": "..........o....."},
        {"kick": "x.......o.......", "hat": "..o...o...o...o."},
        {"tom": "x.....o.....o...", "ride": "o.......o......."},
    ),
    voices=(
        Voice("pad", ("synth_pad", "synth_pad", "synth_pad", "strings", "choir"), 48, 72, (), -2, 0.7),
        Voice("pad", ("synth_pad", "choir", "strings"), 60, 84, (), -9, 0.8, 0.4),
        Voice("arp", ("bell", "piano", "vibraphone", "electric_piano", "nylon_guitar"), 60, 86,
              ("x.....x.....x...", "x...x...x...x...", "x.x...x...x.x...", "x.......x......."), -6, 0.8, 0.85),
        Voice("bass", ("synth_bass", "strings", "triangle_bass", "upright_bass"), 33, 50,
              ("1---------------", "1-------5-------"), -6, 0.3, 0.7),
        Voice("melody", ("flute", "bell", "piano", "electric_guitar"), 64, 84,
              ("x-------x-------", "....x-------x---", "x-----------...."), -8, 0.8, 0.45),
        Voice("drums", ("percussion", "drum_machine", "brushes"), level_db=-12, send=0.5, chance=0.35),
    ),
    sound=Sound(room_seconds=(1.6, 3.2), room_level=(0.3, 0.6), echo_level=(0.0, 0.5), lowpass_hz=(3500, 9500),
                wow_cents=(0.0, 6.0), pump=(0.0, 0.2)),
)

CHIPTUNE = Style(
    name="chiptune",
    bpm=(108, 176),
    modes=("major", "minor", "mixolydian"),
    progressions={
        "major": ("I V VIm IV", "I IV V V", "I IIIm IV V", "IV V IIIm VIm"),
        "minor": ("Im bVI bVII Im", "Im bVII bVI V", "Im bVI bIII bVII"),
        "mixolydian": ("I bVII IV I", "I I bVII IV"),
    },
    melody_scales={"major": ("major", "major_pentatonic"), "minor": ("minor", "minor_pentatonic")},
    grooves=(
        {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "x..x..x.x..x....", "snare": "....x.......x..x", "hat": "xxoxxxoxxxoxxxox"},
        {"kick": "x...x...x...x...", "snare": "....x.......x.x.", "open": "..x...x...x...x."},
    ),
    voices=(
        Voice("melody", ("pulse_lead", "square_lead", "synth_lead", "bell"), 64, 88,
              ("x-x-x---x-x-x---", "x--x--x-x-x-x-x-", "x-----x-x---x-x-"), -3, 0.15),
        Voice("arp", ("square_lead", "pulse_lead", "synth_lead", "electric_piano"), 58, 82,
              ("xxxxxxxxxxxxxxxx", "x.x.x.x.x.x.x.x.", "xx.xxx.xxx.xxx.x"), -9, 0.15),
        Voice("bass", ("triangle_bass", "triangle_bass", "synth_bass", "square_lead"), 36, 55,
              ("1.1.1.1.1.1.1.1.", "1.8.1.8.1.8.1.8.", "1..1..1.1...5.5.", "1---5---1---5---"), -3, 0.0),
        Voice("drums", ("chip_drums", "chip_drums", "chip_drums", "drum_machine"), level_db=-5, send=0.05, chance=0.9),
        Voice("pad", ("synth_pad", "strings", "organ"), 52, 74, (), -10, 0.3, 0.3),
    ),
    sound=Sound(room_seconds=(0.2, 0.9), room_level=(0.0, 0.25), echo_level=(0.0, 0.35), crush_bits=(0, 0, 8, 7, 6),
                drive=(0.0, 0.5)),
)

LOFI = Style(
    name="lofi",
    bpm=(66, 98),
    modes=("major", "minor", "dorian"),
    progressions={
        "major": ("IIm9 V7 Imaj9 VIm7", "Imaj7 VIm7 IIm7 V7", "IVmaj7 IIIm7 IIm7 Imaj7"),
        "minor": ("Im9 IVm7 bVImaj7 Vm7", "Im7 bVII7 bVImaj7 V7", "bVImaj7 Vm7 Im9 Im9"),
        "dorian": ("Im9 IV9", "Im7 IIm7 Im7 IV9"),
    },
    melody_scales={"minor": ("minor_pentatonic",), "major": ("major_pentatonic", "major")},
    swing=(0.53, 0.64),
    swing_beats=0.5,
    grooves=(
        {"kick": "x......x..x.....", "snare": "....x.......x...", "hat": "x.x.x.xox.x.x.x."},
        {"kick": "x.x.......x..o..", "snare": "....x.......x..o", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "x.....x.x.......", "rim": "....x.......x...", "shaker": "x.xox.xox.xox.xo"},
    ),
    voices=(
        Voice("drums", ("drum_kit", "drum_machine", "brushes"), level_db=-1, send=0.12, chance=0.95),
        Voice("comp", ("electric_piano", "electric_piano", "electric_piano", "piano", "nylon_guitar",
                       "electric_guitar"), 50, 74,
              ("x-------x---....", "x-----x---------", "x--x----..x-----"), -4, 0.3),
        Voice("bass", ("electric_bass", "upright_bass", "synth_bass"), 33, 50,
              ("1-----1-5---..7-", "1---....1-5-....", "1------1--8-5---"), -3, 0.05),
        Voice("melody", ("vibraphone", "electric_guitar", "piano", "flute", "bell", "clarinet"), 62, 82,
              ("..x-x---..x-....", "x-x-..x-----....", "....x-x-x---x-.."), -7, 0.4, 0.75),
        Voice("pad", ("strings", "synth_pad", "choir"), 52, 74, (), -10, 0.4, 0.35),
    ),
    sound=Sound(room_seconds=(0.3, 1.2), lowpass_hz=(2400, 5500), crackle=(0.5, 1.4), wow_cents=(0.0, 9.0),
                drive=(0.2, 0.9), crush_bits=(0, 0, 0, 9), pump=(0.0, 0.35), echo_level=(0.0, 0.2)),
)

DUB = Style(
    name="dub",
    bpm=(66, 96),
    modes=("minor", "dorian", "mixolydian"),
    progressions={
        "minor": ("Im IVm", "Im bVII", "Im Im bVI bVII", "Im7 Im7 IVm7 IVm7"),
        "dorian": ("Im IV", "Im7 Im7 IV IV"),
        "mixolydian": ("I bVII", "I IV", "I I bVII IV"),
    },
    melody_scales={"minor": ("minor_pentatonic", "minor"), "mixolydian": ("major_pentatonic", "mixolydian")},
    swing=(0.5, 0.6),
    grooves=(
        {"kick": "........X.......", "rim": "........x.......", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "x.......x.......", "snare": "........X.......", "hat": "x.xox.x.x.xox.x.",
         "open": "......x........."},
        {"kick": "x...x...x...x...", "snare": "........x.....o.", "hat": "..x...x...x...x."},
    ),
    voices=(
        Voice("drums", ("drum_kit", "drum_kit", "drum_machine"), level_db=-2, send=0.25),
        Voice("bass", ("electric_bass", "electric_bass", "synth_bass", "upright_bass"), 31, 48,
              ("1-..1-3-5-......", "..1-1-..5-1-....", "1---..5-..3-1-..", "1-1-....8-5-3-.."), 2, 0.03),
        Voice("comp", ("electric_guitar", "electric_guitar", "organ", "piano"), 54, 74,
              ("..x...x...x...x.", "....x.......x...", "..x.x...x.x.x..."), -4, 0.45),
        Voice("melody", ("accordion", "accordion", "brass", "clarinet", "electric_guitar"), 62, 82,
              ("x---x-x-........", "....x-x-x-----..", "x-----......x-x-"), -7, 0.7, 0.75),
        Voice("pad", ("organ", "organ", "synth_pad"), 50, 70, (), -10, 0.5, 0.5),
    ),
    sound=Sound(room_seconds=(0.8, 2.2), room_level=(0.15, 0.4), echo_level=(0.25, 0.6), lowpass_hz=(5000, 15000),
                echo_beats=(0.75, 0.5, 1.5), drive=(0.1, 0.7), wow_cents=(0.0, 4.0)),
)
