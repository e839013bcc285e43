/** A layout of scratch memory: each call takes `n` words, starting at an even one; `taken` says how many there are so far. */
export class Words {
  taken = 0;

  take(n: number): number {
    const at = this.taken;
    this.taken += n + (n & 1);
    return at;
  }
}
