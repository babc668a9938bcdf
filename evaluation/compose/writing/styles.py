"""All styles. Bands share instruments, rhythms and rooms across styles, as real ones do."""

from evaluation.compose.writing.style import Style
from evaluation.compose.writing.styles_acoustic import BLUES, BOSSA_NOVA, CHORALE, WALTZ
from evaluation.compose.writing.styles_electric import AMBIENT, CHIPTUNE, DRUM_AND_BASS, DUB, LOFI, TECHNO

STYLES: tuple[Style, ...] = (
    TECHNO,
    DRUM_AND_BASS,
    AMBIENT,
    WALTZ,
    BLUES,
    BOSSA_NOVA,
    CHIPTUNE,
    CHORALE,
    DUB,
    LOFI,
)
