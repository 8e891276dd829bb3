"""What the protocols of WeChat and WeCom have in common: signatures, encryption, and how fields are written."""
