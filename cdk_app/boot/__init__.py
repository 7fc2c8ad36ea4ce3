"""A node's boot files: open the encrypted cache volume, start the engine, end a node so that nothing is left.

They ride in the node's wheel and run as root there (`python -m cdk_app.boot VERB`); `install` lays the systemd
units of `units/` into an image. At synth only `run_document` is read. docs/node-end.md tells the story.
"""
