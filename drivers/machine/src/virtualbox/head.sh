#!/usr/bin/env bash
# Makes the VirtualBox machine for disks converted by rehome. Run it on the VirtualBox host as the user who will own
# the machine. The disks lie beside this script and are attached there; they are never copied, changed or deleted.
# Everything is checked before anything is made.
set -euo pipefail

# ---- Fill this in, or set it in the environment. ----
# How the network adapters are connected: nat, none, bridged:INTERFACE, intnet:NAME or hostonly:INTERFACE. Empty is what
# was chosen for each when this script was written.
NETWORK=${NETWORK:-}
