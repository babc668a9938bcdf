"""How ranks fail together."""


class RanksDied(Exception):
    """A rank ended and nobody had asked the job to; the others were ended too."""


class RanksApart(RuntimeError):
    """Ranks that live do not reach each other."""
