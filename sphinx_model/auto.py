"""Registers the family with the Auto classes; saved models do the same through their ``auto_map``."""

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

from sphinx_model.configuration_sphinx import SphinxConfig
from sphinx_model.modeling_sphinx import SphinxForConditionalGeneration, SphinxModel
from sphinx_model.processing_sphinx import SphinxProcessor

AutoConfig.register("sphinx", SphinxConfig, exist_ok=True)
AutoModel.register(SphinxConfig, SphinxModel, exist_ok=True)
AutoModelForImageTextToText.register(SphinxConfig, SphinxForConditionalGeneration, exist_ok=True)
AutoProcessor.register(SphinxConfig, SphinxProcessor, exist_ok=True)

__all__ = ["SphinxConfig", "SphinxForConditionalGeneration", "SphinxModel", "SphinxProcessor"]
