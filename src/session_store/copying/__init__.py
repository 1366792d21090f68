"""Moving whole stores between engines: every log byte for byte, keys and what is known of each."""

from .copy import Copied, Difference, copy_store, size_of, verify_copy

__all__ = ["Copied", "Difference", "copy_store", "size_of", "verify_copy"]
