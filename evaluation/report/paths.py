"""Where the files of the report lie, below its folder."""

# Path and title of the entries of the navigation.
PARTS = (
    ("index.html", "Overview"),
    ("components.html", "Components"),
    ("songs.html", "Songs"),
    ("scores.html", "Scores"),
    ("corpus.html", "Corpus"),
)
INDEX = PARTS[0][0]


def component_path(number: int) -> str:
    return f"component/{number}.html"


def song_path(number: int) -> str:
    return f"song/{number}.html"


def segment_path(number: int, index: int) -> str:
    return f"audio/component-{number}-{index + 1}.mp3"


def song_audio_path(number: int) -> str:
    return f"audio/song-{number}.mp3"


def study_path(number: int) -> str:
    return f"study/{number}.png"
