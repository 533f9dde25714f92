#!/usr/bin/env bash
# A study as an array of Slurm jobs, each one run of it, with one GPU.
#
#   python -m pdm_tf.study --flagfile=configs/studies/table2_small.flags --list | wc -l
#   sbatch --array=0-56%8 configs/cluster/slurm_study.sh \
#     --flagfile=configs/studies/table2_small.flags
#
# 57 lines are jobs 0 to 56, of which 8 work at a time. The study's folder must be on a
# file system that all nodes share. A job trains what its run starts from, too, unless
# another job is at it, for which it waits. Before the time limit Slurm sends SIGTERM:
# the run saves, ends with 75, and the job is requeued and continues. At the end, or at
# any time, the same command with --notrain makes the tables of what is finished.
#SBATCH --job-name=pdm_tf_study
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
set -uo pipefail

line=$(python3 -m pdm_tf.study "$@" --list | sed -n "$((SLURM_ARRAY_TASK_ID + 1))p")
run=${line%% *}
if [ -z "$run" ]; then
  echo "the study has no run number $SLURM_ARRAY_TASK_ID" >&2
  exit 2
fi
srun python3 -m pdm_tf.study "$@" --only="$run"
code=$?

if [ "$code" -eq 75 ]; then # interrupted after saving
  scontrol requeue "$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
