"""Fine-tuning on traces: what each token's loss is, decided on token ids, and TRL's `SFTTrainer` behind it."""
