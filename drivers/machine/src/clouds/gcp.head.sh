#!/usr/bin/env bash
# Uploads disks converted by rehome to Google Cloud and makes the instance. Needs the gcloud command line, logged in, and
# GNU tar. The disks lie beside this script and are only read. Everything is checked before anything is made; when a
# step fails, what was made stays, and the script says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
PROJECT=${PROJECT:-}
# Such as europe-west1-b.
ZONE=${ZONE:-}
# An existing Cloud Storage bucket for the uploads.
BUCKET=${BUCKET:-}
# Such as e2-standard-2; `gcloud compute machine-types list` lists them.
MACHINE_TYPE=${MACHINE_TYPE:-}
# Subnetworks, one for each network adapter, with spaces between them; each has to be of another network. Empty are those
# that were chosen when this script was written.
SUBNETWORKS=${SUBNETWORKS:-}
# Kind of the disks.
DISK_TYPE=${DISK_TYPE:-pd-balanced}
# Folder with room for the packed disks.
WORK_FOLDER=${WORK_FOLDER:-${TMPDIR:-/tmp}}
