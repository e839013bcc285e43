// Where PREEMPT's program leaves what it has measured.

/** What is sampled, in this order, each as often as there are trials. */
export const SAMPLES = ["suspend", "resume", "cancel"] as const;
/** First of their words, from the start of the scratch words. */
export const SAMPLES_AT = 2;
