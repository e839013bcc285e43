// The whole of kern_lwp.c.

export const lines = [];
