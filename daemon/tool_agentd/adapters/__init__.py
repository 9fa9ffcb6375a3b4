"""The adapters: everything that touches disk, network, keychain, clock or kernel."""
