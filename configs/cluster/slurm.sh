#!/usr/bin/env bash
# One training run on two nodes of a Slurm cluster, one worker per node, all its GPUs.
#
#   sbatch configs/cluster/slurm.sh --flagfile=configs/pdm_sr/blur_noise_x4.flags \
#     --hr_dir=/data/hr --lr_dir=/data/lr --run_dir=/data/runs/a
#
# The folders must be on a file system that all nodes share. --batch_size is that of all
# devices together. Before the time limit Slurm sends SIGTERM: all workers save, stop at
# the same step and end with 75; the job is then requeued and continues.
#SBATCH --job-name=pdm_tf
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
set -uo pipefail

export HOSTS PORT=${PORT:-22222}
HOSTS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | tr '\n' ' ')

# $HOSTS is meant to be split into words; $SLURM_PROCID differs in each task.
srun --kill-on-bad-exit=1 bash -c '
  export TF_CONFIG=$(python3 -c "
import json, sys
index, port, *hosts = sys.argv[1:]
workers = [f\"{host}:{port}\" for host in hosts]
task = {\"type\": \"worker\", \"index\": int(index)}
print(json.dumps({\"cluster\": {\"worker\": workers}, \"task\": task}))
" "$SLURM_PROCID" "$PORT" $HOSTS)
  exec python3 -m pdm_tf.train "$@"' bash "$@"
code=$?

if [ "$code" -eq 75 ]; then # interrupted after saving
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
