#!/usr/bin/env bash
# Makes the Proxmox VE virtual machine for disks converted by rehome.
#
# Run it as root on the Proxmox host. The image files and their .rehome.json manifests lie in the folder of this
# script; they are copied into the storage and never changed or deleted. Everything is checked before anything is made.
# When a step fails, the half-made virtual machine is destroyed again with the copies in the storage.
#
#   --storage NAME            storage for the disks (local-lvm)
#   --vmid NUMBER             number of the virtual machine (the next free one)
#   --bridge NAME             bridge for every network adapter (the one that was chosen for it when this script was
#                             written, else vmbr0)
#   --bridge-of NETWORK=NAME  bridge for adapters that were connected to NETWORK at the source; may be repeated
#   --new-macs                let Proxmox choose new hardware addresses: the source goes on running in the same network
#   --cpu TYPE                processor type (host)
#   --start                   start the virtual machine when it is made
#   --dry-run                 check everything and print the commands, change nothing
set -euo pipefail

# ---- What is made. Every value below is a number or a single-quoted word. ----
