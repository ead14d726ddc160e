"""ONNX networks in half precision."""

import onnx

# Powers, norms and statistics leave the range of half precision; they are a thousandth of the work.
FLOAT_OPS = (
    *("Pow", "Exp", "Log", "ReduceMean", "ReduceL2", "ReduceSum", "GlobalAveragePool", "BatchNormalization"),
    *("InstanceNormalization", "LayerNormalization", "Softmax", "Div", "Clip"),
)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the network with weights and computation in half precision, inputs and outputs as they were.

    Pooling, statistics and the final norm stay in float32. Weights beyond the range of half precision are clipped to
    it, those below become zero; whoever writes the file compares it with the original.

    Args:
        model: A float32 network, which is not changed.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    blocked = sorted({*DEFAULT_OP_BLOCK_LIST, *FLOAT_OPS})
    halved = ONNXModel(convert_float_to_float16(copied, keep_io_types=True, op_block_list=blocked))
    halved.topological_sort()  # the casts of the inputs are appended
    return halved.model
