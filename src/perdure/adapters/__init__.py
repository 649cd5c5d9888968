"""Frameworks and providers of models, one file each; what is heavy is imported when it is first used."""
