"""The zoo: resnet, squeezenet, lstm and noop, built on this machine with random weights; nothing is downloaded.

``catalogue`` names them (standard library only, so that usage errors need nothing installed). ``build`` makes one:
``graphs/`` writes its network, one file a model, in the server's environment; ``archive`` packs it as a .mar with
``handlers/``, which is what runs inside the server. ``predictions`` says whether an answer is right.
"""
