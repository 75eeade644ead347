"""SPHINX as a Hugging Face model: glue between encoders, connector and a causal LM; copied into saved models.

Shapes: B sequences of L tokens, V views of S x S pixels, T features a view, D width of the language model.
Packed input: `position_ids` restart at 0 with every document and `attention_mask` is None; `transformers` then derives
the document mask itself. An all-ones mask would switch it off.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_sphinx import SphinxConfig
from .connectors import CONNECTORS
from .encoders import MixtureOfEncoders
from .experts import balance_loss

# What some families do to their logits outside the body; an unscaled head would silently be another model.
_LOGIT_OPTIONS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")


@dataclass
class SphinxModelOutputWithPast(BaseModelOutputWithPast):
    """Output of the body; `image_hidden_states` is [V, T, D], or None without views.

    With router losses on, `router_logits` are [B * L, experts] a layer and `aux_loss` is their balance, unweighted.
    """

    image_hidden_states: torch.Tensor | None = None
    router_logits: tuple[torch.Tensor, ...] | None = None
    aux_loss: torch.Tensor | None = None


@dataclass
class SphinxCausalLMOutputWithPast(CausalLMOutputWithPast):
    """Output with logits; the other fields are those of `SphinxModelOutputWithPast`."""

    image_hidden_states: torch.Tensor | None = None
    router_logits: tuple[torch.Tensor, ...] | None = None
    aux_loss: torch.Tensor | None = None


class ImageMarks(nn.Module):
    """The learned embeddings that are no features: start and end of a view [D], skip token [D] or [places, D]."""

    def __init__(self, config: SphinxConfig) -> None:
        super().__init__()
        width = config.get_text_config().hidden_size
        self.start = nn.Parameter(torch.empty(width))
        self.end = nn.Parameter(torch.empty(width))
        shape = (config.grid**2, width) if config.skip_token == "place" else (width,)
        self.skip = nn.Parameter(torch.empty(shape)) if config.skip_token != "off" else None


class SphinxPreTrainedModel(PreTrainedModel):
    """What the body and the model with a head share."""

    config_class = SphinxConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities: Any = ("image", "text")
    supports_gradient_checkpointing = True
    _skip_keys_device_placement: Any = ("past_key_values",)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in `transformers`, which makes every loaded parameter trainable; frozen encoders are frozen again."""
        loaded: Any = super().from_pretrained(*args, **kwargs)
        model: Any = loaded[0] if isinstance(loaded, tuple) else loaded
        model.freeze_encoders(model.config.freeze_encoders)
        return loaded

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ImageMarks):
            for parameter in module.parameters():
                init.normal_(parameter, mean=0.0, std=0.02)


class SphinxModel(SphinxPreTrainedModel):
    """Encoders, connector, marks and the body of the language model, without its head."""

    def __init__(self, config: SphinxConfig) -> None:
        super().__init__(config)
        text = config.get_text_config()
        self.encoders = MixtureOfEncoders(config)
        make, sizes = CONNECTORS[config.connector], [channels for _, channels in config.feature_shapes]
        if config.mixed("sequence"):
            count = len(config.mixed("sequence"))
            self.sequence_connectors = nn.ModuleList(make(size, text.hidden_size) for size in sizes[:count])
            sizes = sizes[count:]
        if sizes:
            self.connector = make(sizes[0], text.hidden_size)
        self.marks = ImageMarks(config)
        self.language_model = AutoModel.from_config(text)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings of the language model."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings of the language model."""
        self.language_model.set_input_embeddings(value)

    def freeze_encoders(self, frozen: bool = True) -> None:
        """Freeze or unfreeze the encoders; kept in the configuration, so a reloaded model behaves the same."""
        self.config.freeze_encoders = frozen
        self.encoders.freeze(frozen)
        self.encoders.train(self.training)

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Views [V, S, S, 3], uint8 or floating in [0, 1] -> [V, T, D], in the type of the connector."""
        size = self.config.view_size
        if pixel_values.shape[1:] != (size, size, 3):
            raise ValueError(f"views must be [V, {size}, {size}, 3], not {list(pixel_values.shape)}")
        return self._connect(self.encoders(pixel_values))

    def _connect(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Features in the order of `SphinxConfig.feature_shapes` -> [V, T, D], joined along the sequence."""
        connectors = list(getattr(self, "sequence_connectors", []))
        if hasattr(self, "connector"):
            connectors.append(self.connector)
        return torch.cat([connect(one) for connect, one in zip(connectors, features, strict=True)], dim=1)

    def embed(
        self, input_ids: torch.Tensor, pixel_values: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Tokens [B, L] and views [V, S, S, 3] -> embeddings [B, L, D] and features [V, T, D].

        Features replace the patch placeholders in reading order. Raises ValueError, with both numbers, where their
        counts differ. In training the projection runs even without views (on a block that is multiplied by zero),
        so that every trainable parameter has a gradient in every micro-batch.
        """
        config = self.config
        is_patch = input_ids == config.image_token_id
        marks: dict[int, torch.Tensor] = {
            config.image_start_token_id: self.marks.start,
            config.image_end_token_id: self.marks.end,
        }
        if self.marks.skip is not None:
            marks[config.image_skip_token_id] = self._skips(input_ids)
        is_placeholder = is_patch | (input_ids == config.image_skip_token_id)
        for token in marks:
            is_placeholder |= input_ids == token
        # Placeholders may lie beyond the LLM's vocabulary, and their rows must not train.
        embeddings = self.get_input_embeddings()(input_ids.masked_fill(is_placeholder, 0))
        for token, vector in marks.items():
            embeddings = torch.where((input_ids == token).unsqueeze(-1), vector.to(embeddings.dtype), embeddings)
        views = 0 if pixel_values is None else pixel_values.shape[0]
        wanted = views * config.view_tokens
        # training packs are counted when they are made; asking a GPU would make every micro-batch wait for the last
        placeholders = wanted if self.training and input_ids.is_cuda else int(is_patch.sum())
        if placeholders != wanted:
            raise ValueError(f"{placeholders} image placeholders, but {views} views give {wanted} features")
        if pixel_values is not None and views:
            features = self.get_image_features(pixel_values)
            flat = features.flatten(0, 1).to(embeddings.dtype)
            return embeddings.masked_scatter(is_patch.unsqueeze(-1), flat), features
        if self.training:
            embeddings = embeddings + 0.0 * self._empty_features(embeddings.device).sum().to(embeddings.dtype)
        return embeddings, None

    def _skips(self, input_ids: torch.Tensor) -> torch.Tensor:
        """The skip token [D], or with one a place [B, L, D]: an image has 1 + grid * grid views and skips, in order."""
        skip = self.marks.skip
        assert skip is not None
        if self.config.skip_token != "place":
            return skip
        config = self.config
        begins = (input_ids == config.image_start_token_id) | (input_ids == config.image_skip_token_id)
        places = len(skip) + 1
        return skip[(((begins.long().cumsum(dim=-1) - 1) % places) - 1).clamp_min(0)]

    def _empty_features(self, device: torch.device) -> torch.Tensor:
        """[1, T, D] of nothing: through the encoders as well where they train."""
        if not self.encoders.frozen:
            size = self.config.view_size
            return self.get_image_features(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=device))
        dtype = self.marks.start.dtype  # of the connector too, whatever sharding computes in
        shapes = self.config.feature_shapes
        return self._connect([torch.zeros(1, *shape, device=device, dtype=dtype) for shape in shapes])

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_router_logits: bool | None = None,
        **kwargs: Any,
    ) -> SphinxModelOutputWithPast:
        """Hidden states [B, L, D] in `last_hidden_state`.

        The cache is off unless asked for: with one, `transformers` derives no document mask from `position_ids`.
        `output_router_logits`: for mixtures of experts; by default while training, where the language model's
        configuration says so.
        """
        kwargs.pop("return_dict", None)
        text = self.config.get_text_config()
        if output_router_logits is None:
            output_router_logits = self.training and getattr(text, "output_router_logits", False)
        if output_router_logits:
            kwargs["output_router_logits"] = True
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        features = None
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds, features = self.embed(input_ids, pixel_values)
        elif pixel_values is not None:
            raise ValueError("pixel_values need input_ids, whose placeholders they replace")
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=bool(use_cache) or past_key_values is not None,
            **kwargs,
        )
        router_logits = getattr(outputs, "router_logits", None) if output_router_logits else None
        return SphinxModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=features,
            router_logits=router_logits,
            aux_loss=balance_loss(router_logits, text.num_experts_per_tok, attention_mask) if router_logits else None,
        )


class SphinxForConditionalGeneration(SphinxPreTrainedModel, GenerationMixin):
    """SPHINX with the head of the language model."""

    _tied_weights_keys: dict[str, str]

    def __init__(self, config: SphinxConfig) -> None:
        super().__init__(config)
        text = config.get_text_config()
        for option in _LOGIT_OPTIONS:
            if getattr(text, option, None) not in (None, 1, 1.0):
                raise ValueError(f"language models with {option} ({text.model_type}) are not supported")
        self.model = SphinxModel(config)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        embeddings = self.model.get_input_embeddings()
        name = next(name for name, module in self.model.named_modules() if module is embeddings)
        self._tied_weights_keys = {"lm_head.weight": f"model.{name}.weight"}
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings of the language model."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings of the language model."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The head: hidden states [..., D] to logits [..., vocabulary]."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the head."""
        self.lm_head = value

    @property
    def router_weight(self) -> float:
        """Weight of `aux_loss` in the loss; 0.0 for language models without experts."""
        return float(getattr(self.config.get_text_config(), "router_aux_loss_coef", 0.0))

    def freeze_encoders(self, frozen: bool = True) -> None:
        """See `SphinxModel.freeze_encoders`."""
        self.model.freeze_encoders(frozen)

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """See `SphinxModel.get_image_features`."""
        return self.model.get_image_features(pixel_values)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> SphinxCausalLMOutputWithPast:
        """Logits [B, K, vocabulary] of the last K = `logits_to_keep` positions (0: all; a tensor: those positions).

        `labels` [B, L] are not shifted; -100 is ignored. The loss is the mean, or sum / `num_items_in_batch`; where the
        body reports an `aux_loss`, `router_aux_loss_coef` times that is part of it.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, keep])
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits,
                labels=labels,
                vocab_size=self.config.get_text_config().vocab_size,
                num_items_in_batch=num_items,
            )
            if outputs.aux_loss is not None:
                loss = loss + self.router_weight * outputs.aux_loss
        return SphinxCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
            router_logits=outputs.router_logits,
            aux_loss=outputs.aux_loss,
        )

    def prepare_inputs_for_generation(  # type: ignore[override]
        self: Any, input_ids: Any, past_key_values: Any = None, pixel_values: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Views go in with the prompt only; afterwards their keys and values are in the cache."""
        inputs = GenerationMixin.prepare_inputs_for_generation(
            self, input_ids, past_key_values=past_key_values, **kwargs
        )
        cached = past_key_values is not None and past_key_values.get_seq_length() > 0
        return {**inputs, "pixel_values": None if cached else pixel_values}

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Any = None, **kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Beams and several answers a prompt: views are repeated prompt by prompt, as a prompt may have any number."""
        views = kwargs.pop("pixel_values", None)
        if views is not None and expand_size > 1:
            counts = (input_ids == self.config.image_start_token_id).sum(dim=1).tolist()
            views = torch.cat([part for prompt in views.split(counts) for part in [prompt] * expand_size])
        input_ids, kwargs = super()._expand_inputs_for_generation(  # type: ignore[misc]
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **kwargs
        )
        return input_ids, kwargs if views is None else {**kwargs, "pixel_values": views}


SphinxModel.register_for_auto_class("AutoModel")
SphinxForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
