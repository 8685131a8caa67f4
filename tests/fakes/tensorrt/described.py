"""What all classes of the stand-ins for TensorRT have in common."""


class Described:
    """Refuses every attribute that the description of its class does not list."""

    names = frozenset()

    def __getattribute__(self, name):
        if not name.startswith("_") and name not in type(self).names:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return object.__getattribute__(self, name)

    def __setattr__(self, name, value):
        if not name.startswith("_") and name not in type(self).names:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


def shape_of(value):
    """Shape of an ONNX value as TensorRT gives it: -1 for a free dimension."""
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)
