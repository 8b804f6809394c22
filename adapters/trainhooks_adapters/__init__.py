"""Adapters: one module a framework, each seeing `trainhooks` alone, as a third party's would."""
