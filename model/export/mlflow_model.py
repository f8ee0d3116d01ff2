"""What makes an exported folder a model of MLflow's, where it lies: `MLmodel`, the flavour
`transformers`, and the tokenizer once more under the name that this flavour looks for.

No weights are copied and nothing is pickled: the flavour reads the folder's own safetensors,
`mlflow.pyfunc` goes through it. Nothing of ours need be installed where it is loaded. MLmodel says
no time and no machine, so that equal exports are equal to the byte.
"""

import json

import yaml

MLMODEL = "MLmodel"
TOKENIZER_FOLDER = "components/tokenizer"
TASK = "text-generation"
SAMPLING: dict[str, bool | int | float] = {"do_sample": True, "temperature": 0.8, "top_k": 50}
"""How a text is continued unless the caller says otherwise."""
PARAMS: dict[str, bool | int | float] = {**SAMPLING, "max_new_tokens": 128}
"""What `predict(prompts, params=...)` may set, with the values when it does not."""
KINDS = {bool: "boolean", int: "long", float: "double"}


def mlmodel(architecture: str, dtype: str) -> bytes:
    """The file MLmodel of an exported model. architecture: its class in `transformers`; dtype: of
    its weights, as torch names it."""
    params = [
        {"name": name, "type": KINDS[type(value)], "default": value, "shape": None}
        for name, value in PARAMS.items()
    ]
    described = {
        "flavors": {
            "transformers": {
                "task": TASK,
                "instance_type": "TextGenerationPipeline",
                "pipeline_model_type": architecture,
                "model_binary": ".",
                "torch_dtype": f"torch.{dtype}",
                "components": ["tokenizer"],
                "tokenizer_type": "PreTrainedTokenizerFast",
                "source_model_name": "",
                "code": None,
            },
            "python_function": {
                "loader_module": "mlflow.transformers",
                "model_config": dict(PARAMS),
            },
        },
        "signature": {
            "inputs": json.dumps([{"type": "string", "required": True}]),
            "outputs": json.dumps([{"type": "string", "required": True}]),
            "params": json.dumps(params),
        },
    }
    return yaml.safe_dump(described, sort_keys=False).encode()
