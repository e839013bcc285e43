/**
 * Structures that are embedded in records, as offsets in words from their address.
 *
 * A lock is two words: the owner and a count of sleepers (spin), or the owner with its waiters bit and the
 * kind. A sleep queue is its first and last LWP. A condition variable is a sleep queue and its message.
 */

// --- locks ---
export const LOCK_WORDS = 2;

// --- sleep queues and condition variables ---
export const SLEEPQ_HEAD = 0;
export const SLEEPQ_TAIL = 1;
export const SLEEPQ_WORDS = 2;
export const CV_SLEEPQ = 0;
export const CV_WMESG = 2;
export const CV_WORDS = 4;
/** Message of a destroyed condition variable. */
export const CV_DEAD = "(dead)";

// --- adaptive mutexes ---
/** Owning LWP's index, shifted left by one; bit 0 = there are waiters. */
export const MTX_OWNER = 0;
export const MTX_WAITERS = 1;
/** What kind of lock stands here. */
export const MTX_TYPE = 1;
export const MTX_SPIN = 0x5350494e;
export const MTX_ADAPTIVE = 0x41444150;
/** Two words of owner and type, and a spin lock's two where the mutex is a spin lock. */
export const MTX_SPINLOCK = 2;
export const MTX_WORDS = 4;

// --- rwlocks (BLK-50) ---
/** The one word of a rwlock: these bits, and above them its readers, or the index of the LWP that has write-locked it. */
export const RW_HAS_WAITERS = 1;
export const RW_WRITE_WANTED = 2;
export const RW_WRITE_LOCKED = 4;
export const RW_SHIFT = 4;
export const RW_READ_INCR = 1 << RW_SHIFT;
/** Readers or writer. */
export const RW_THREAD = ~(RW_READ_INCR - 1);
export const RW_WORDS = 2;

// --- callouts ---
/** Links: addresses of neighbours on the same list; 0 at the ends. */
export const CO_NEXT = 0;
export const CO_PREV = 1;
/** Address of the list's head while queued, else 0. */
export const CO_LIST = 2;
/** Due tick. */
export const CO_TIME = 3;
export const CO_FLAGS = 4;
/** Index of the CPU it belongs to. */
export const CO_CPU = 5;
/** Handler id. */
export const CO_FUNC = 6;
export const CO_ARG = 7;
export const CALLOUT_WORDS = 8;

export const CALLOUT_BOUND = 0x1;
export const CALLOUT_PENDING = 0x2;
export const CALLOUT_FIRED = 0x4;
export const CALLOUT_INVOKING = 0x8;
export const CALLOUT_MPSAFE = 0x100;

/** A list of callouts: first, last. */
export const COLIST_WORDS = 2;
export const WHEEL_BITS = 8;
export const WHEEL_SIZE = 1 << WHEEL_BITS;
export const WHEEL_LEVELS = 4;

// --- object caches ---
/** A lock, the first constructed object that nobody uses and how many there are, those who wait for one. */
export const CACHE_LOCK = 0;
export const CACHE_FREE = 2;
export const CACHE_COUNT = 3;
export const CACHE_CV = 4;
export const CACHE_WORDS = 8;
/** Caches there is room for. */
export const CACHES_MAX = 8;

// --- hash tables ---
export const SLEEPTAB_SIZE = 128;
/** A lock and a queue. */
export const SLEEPTAB_BUCKET_WORDS = 4;
export const TSTAB_SIZE = 64;
/** A lock, the first turnstile, padding. */
export const TSTAB_BUCKET_WORDS = 4;
/** Locks of the thread library's objects, by index. */
export const OBJTAB_SIZE = 256;
/** Named semaphores: a lock, the first, their number. */
export const NAMED_FIRST = 2;
export const NAMED_COUNT = 3;
export const NAMED_WORDS = 4;
/** Locks over the lid table; a bucket's lock is the one of its low bits. */
export const LIDTAB_STRIPES = 64;

// --- lwpctl: what an LWP shares with its program (LWP-88) ---
/** Index of the CPU it runs on, or LWPCTL_CPU_*; before the address in `l.lwpctl`, so that 0 is no address. */
export const LWPCTL_CURCPU = -2;
/** Counts how often it was switched in. */
export const LWPCTL_PCTR = -1;
export const LWPCTL_WORDS = 2;
/** Switched out; exiting or gone. */
export const LWPCTL_CPU_NONE = -1;
export const LWPCTL_CPU_EXITED = -2;

// --- trace rings ---
/** id, cpu, lid, pid, time (two words), five words of arguments, padding. */
export const TRACE_WORDS = 12;

// --- user memory (kern/umem.ts) ---
/** Bytes of a page, the unit of its ranges. */
export const PAGE_SIZE = 4096;
/** Header: lock (2), first free range, pages ever handed out, pages in use, spare. */
export const UMEM_LOCK = 0;
export const UMEM_FREE = 2;
export const UMEM_HIGH = 3;
export const UMEM_INUSE = 4;
export const UMEM_WORDS = 6;
/** Of the first and last page of a range: its pages, negative while it is in use. */
export const UM_SIZE = 0;
/** Of its first page: the neighbours on the list of free ranges, or on its owner's; pages count from 1, 0 = none. */
export const UM_NEXT = 1;
export const UM_PREV = 2;
/** Of its first page: index of the process that owns it, 0 = the kernel; odd while in use, one more at every change. */
export const UM_OWNER = 3;
export const UM_GEN = 4;
export const UMEM_PAGE_WORDS = 5;

// --- keys of thread-specific data (kern/threadkey.ts) ---
export const TSD_KEYS_MAX = 256;
/** Of each process: lock (2), the last key made plus one, keys in use, generation of each, word of each's destructor. */
export const TSD_LOCK = 0;
export const TSD_LAST = 2;
export const TSD_INUSE = 3;
export const TSD_GENS = 4;
export const TSD_DTORS = TSD_GENS + TSD_KEYS_MAX;
export const TSD_WORDS = TSD_DTORS + TSD_KEYS_MAX;
