"""What the whole pipeline costs on this machine: latency by stage, start-up, memory, other models beside it."""
