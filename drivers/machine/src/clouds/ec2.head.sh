#!/usr/bin/env bash
# Uploads disks converted by rehome to Amazon EC2, imports each as a snapshot, and registers an image (AMI) of them. Needs
# the AWS command line with credentials, and the service role of VM Import/Export. The disks lie beside this script and
# are only read. Everything is checked before anything is made; when a step fails, what was made stays, and the script
# says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
# Such as eu-central-1.
REGION=${REGION:-}
# An existing S3 bucket in that region, and the folder in it.
BUCKET=${BUCKET:-}
PREFIX=${PREFIX:-rehome}
# The service role of VM Import/Export.
ROLE_NAME=${ROLE_NAME:-vmimport}
VOLUME_TYPE=${VOLUME_TYPE:-gp3}
# Seconds between two looks at an import.
POLL_SECONDS=${POLL_SECONDS:-15}
