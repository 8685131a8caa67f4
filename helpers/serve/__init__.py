"""The action server, `POST /act`, and its client. Import the module you need: `server`, `client`, `arrays`.

A policy is any object with `predict(image, instruction, unnorm_key=None)`: image uint8 [H, W, 3] RGB, instruction in
plain words; it returns (action float64 [n], ids int [m], text).
"""
