"""Servers that speak OpenAI's API: vLLM, SGLang, llama.cpp and others."""
