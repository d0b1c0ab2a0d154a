"""Sites, on which a Multi Model Server of ours runs: this machine, a checkout that is built, or a container."""
