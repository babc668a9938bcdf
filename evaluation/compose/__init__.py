"""Music that the project writes itself: a small labelled corpus for demos and tests, the same for every seed.

`corpus` plans and writes it, `writer` composes one song, `mix` plays it.
"""
