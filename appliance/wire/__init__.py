"""Everything that crosses a boundary: the envelope, the seal, the statements, the topics, the local messages.

Where to look: :mod:`.envelope` says who said it, :mod:`.sealing` who may read it, :mod:`.strict_json` what may stand
in it, :mod:`.topics` where it goes, :mod:`.local_codec` how our own processes talk. ``docs/schemas`` says the same to
people who write the other side.
"""
