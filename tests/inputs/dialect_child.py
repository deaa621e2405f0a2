"""Run by the interpreter that has torch and transformers: the parameter names of transformers' own class, as JSON."""

import json
import sys

import torch
from transformers import DeepseekV4Config, DeepseekV4ForCausalLM

config = json.loads(sys.argv[1])
with torch.device("meta"):
    model = DeepseekV4ForCausalLM(DeepseekV4Config(**config))
print(json.dumps({name: list(value.shape) for name, value in model.state_dict().items()}))
