// The product: linker, thread library, embedding, polls, reports, command line.

export const lines = [];
