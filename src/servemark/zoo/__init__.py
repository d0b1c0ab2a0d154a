"""The zoo: resnet, squeezenet, lstm and noop, built on this machine with random weights; nothing is downloaded.

``catalogue`` names them (standard library only, so that usage errors need nothing installed); one file a model builds
it; ``archive`` packs what was built as a .mar; ``handlers/`` is what runs inside the server.
"""
