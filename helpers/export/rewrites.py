"""An exported graph made tidy: constants and BatchNorm folded, and nothing left that does nothing."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir

REWRITES = (
    "fuse_batchnorm_into_conv",
    "no_op_cast",
    "no_op_expand",
    "no_op_transpose",
    "reshape_reshape",
    "transpose_transpose",
    "unsqueeze_unsqueeze",
    "squeeze_reshape_1d",
    "materialize_reshape_shape",
    "one_reshape_matmul_reshape",
    "two_reshapes_matmul_reshape",
    "collapse_slice",
    "collapse_slice2",
    "successive_relu",
)
FOLD_LIMIT = 1 << 20  # elements: constants such as positions are folded, weights are only transposed


def tidy(model: "onnx_ir.Model") -> None:
    """Fold constants and BatchNorm, and drop what does nothing, in an `onnx_ir.Model`, in place.

    The exporter's own `optimize=True` would also drop an addition of 1e-8 (it takes constants within 1e-8 of 0 for 0),
    which is what keeps a division from 0/0: so the rewrite rules are chosen here, and none of them judges a number.
    """
    import onnx_ir.passes.common as passes
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules import common

    rules = [getattr(common, f"{name}_rule") for name in REWRITES]
    passes.InlinePass()(model)
    for _ in range(3):
        optimizer.fold_constants_ir(model, input_size_limit=FOLD_LIMIT, output_size_limit=FOLD_LIMIT)
        _drop_wrong_biases(model)
        rewriter.rewrite(model, rules)
        _drop_shape_no_ops(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.DeduplicateInitializersPass(size_limit=8)(model)  # axes and shapes, not weights that happen to be equal
    passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
    passes.OutputFixPass()(model)
    passes.NameFixPass()(model)


def _drop_wrong_biases(model):
    """Remove the zeros [C,2] that onnxscript gives a three-dimensional Conv without a bias, where ONNX has [C] or none.

    Seen in onnxscript 0.7.2, `aten_conv3d`; ONNX Runtime and TensorRT refuse such a file.
    """
    for node in model.graph:
        if node.op_type == "Conv" and len(node.inputs) == 3:
            bias = node.inputs[2].const_value
            if bias is not None and len(bias.shape) == 2 and not bias.numpy().any():
                node.resize_inputs(2)


def _drop_shape_no_ops(model):
    """Remove each Expand and Reshape whose output has the static shape of its input."""
    outputs = set(model.graph.outputs)
    for node in list(model.graph):
        if node.op_type in ("Expand", "Reshape") and node.outputs[0] not in outputs:
            before, after = node.inputs[0].shape, node.outputs[0].shape
            if before is not None and before == after and before.is_static():
                node.outputs[0].replace_all_uses_with(node.inputs[0])
                model.graph.remove(node, safe=True)
