"""The history: an index over result folders, on this machine, of this user.

It holds where each result is and its headline figures, so that they can be listed, and told as a trend, without reading
them all; and names of baselines. What was measured stays in the folders: the index is no second store, and nothing but
this convenience rests on it. ``place`` says where it is, ``database`` opens it (``migrations`` make what it is made
of), ``index`` has what is asked of it, ``measurements`` what it keeps of a result, ``naming`` how a user names one, and
``trends`` what the results of one thing tell together.
"""
