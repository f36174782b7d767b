#!/usr/bin/env bash
# Uploads disks converted by rehome to Azure and makes the virtual machine. Needs the Azure command line, logged in
# (az login), and azcopy. The disks lie beside this script and are only read. Everything is checked before anything is
# made; when a step fails, what was made stays in the resource group, and the script says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
# An existing resource group, and its region, such as westeurope.
RESOURCE_GROUP=${RESOURCE_GROUP:-}
LOCATION=${LOCATION:-}
# Size of the machine, such as Standard_D2s_v5; `az vm list-sizes --location REGION` lists them.
VM_SIZE=${VM_SIZE:-}
# Resource ids of subnets, one for each network adapter, with spaces between them. Empty are those that were chosen when
# this script was written.
SUBNET_IDS=${SUBNET_IDS:-}
# Kind of the managed disks.
DISK_SKU=${DISK_SKU:-StandardSSD_LRS}
# How long an upload may take.
UPLOAD_SECONDS=${UPLOAD_SECONDS:-86400}
