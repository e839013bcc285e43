// Peer "pthreads": kernel threads of the host. B1, B2 and B3 in ns an operation, B7 in resident bytes a thread.
// The same options, the same time budget and the same report as the other programs: see measure.ts.

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long threads = 1000;
static double budget_ns = 600e6;
static pthread_t *ids;
static sem_t *parked;

static void check(int error, const char *what) {
  if (error != 0) {
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
  }
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

// As the meter of measure.ts, but for a compiler's shorter warm-up. `run` does the rounds and returns the nanoseconds they took.
static void measure(double (*run)(long rounds), long operations_a_round) {
  long rounds = 1;
  double elapsed_ns = run(rounds);
  while (elapsed_ns < budget_ns / 5 && rounds < 1 << 30) elapsed_ns = run(rounds *= 2);
  rounds = rounds * budget_ns / elapsed_ns;
  if (rounds < 1) rounds = 1;
  elapsed_ns = run(rounds);
  printf("{\"value\":%.3f}\n", elapsed_ns / rounds / operations_a_round);
}

// B1: all on one CPU. The clock starts when every thread is there and stops when the last has made its yields.

static pthread_barrier_t all_there;
static atomic_long running;
static double begun_ns, ended_ns;

static void *yielder(void *arg) {
  long rounds = *(long *)arg;
  if (pthread_barrier_wait(&all_there) == PTHREAD_BARRIER_SERIAL_THREAD) begun_ns = now_ns();
  for (long i = 0; i < rounds; i++) sched_yield();
  if (atomic_fetch_sub(&running, 1) == 1) ended_ns = now_ns();
  return NULL;
}

static double run_yields(long rounds) {
  atomic_store(&running, threads);
  check(pthread_barrier_init(&all_there, NULL, threads), "pthread_barrier_init");
  for (long i = 0; i < threads; i++) check(pthread_create(&ids[i], NULL, yielder, &rounds), "pthread_create");
  for (long i = 0; i < threads; i++) check(pthread_join(ids[i], NULL), "pthread_join");
  pthread_barrier_destroy(&all_there);
  return ended_ns - begun_ns;
}

static void stay_on_one_cpu(void) {
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

// B2.

static void *nothing(void *arg) { return arg; }

static double run_batches(long rounds) {
  double begun = now_ns();
  for (long round = 0; round < rounds; round++) {
    for (long i = 0; i < threads; i++) check(pthread_create(&ids[i], NULL, nothing, NULL), "pthread_create");
    for (long i = 0; i < threads; i++) check(pthread_join(ids[i], NULL), "pthread_join");
  }
  return now_ns() - begun;
}

// B3: parked is waiting on a semaphore of one's own, a futex word. The token orders all access to passes_left.

static long passes_left;
static sem_t finished;

static void *member(void *arg) {
  long own = (long)arg, next = (own + 1) % threads;
  for (;;) {
    sem_wait(&parked[own]);
    sem_post(--passes_left > 0 ? &parked[next] : &finished);
  }
  return NULL;
}

static double run_ring(long passes) {
  passes_left = passes;
  double begun = now_ns();
  sem_post(&parked[0]);
  sem_wait(&finished);
  return now_ns() - begun;
}

static void start_parked(void *(*body)(void *)) {
  for (long i = 0; i < threads; i++) {
    sem_init(&parked[i], 0, 0);
    check(pthread_create(&ids[i], NULL, body, (void *)i), "pthread_create");
  }
}

// B7: what the host's kernel keeps for a thread (its kernel stack, 16 kB) is not resident memory and not counted.

static atomic_long arrived;

static void *idle(void *arg) {
  atomic_fetch_add(&arrived, 1);
  sem_wait(&parked[(long)arg]);
  return NULL;
}

static double resident_bytes(void) {
  long total = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == NULL || fscanf(f, "%ld %ld", &total, &resident) != 2) {
    fprintf(stderr, "no /proc/self/statm\n");
    exit(1);
  }
  fclose(f);
  return (double)resident * sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
  const char *bench = "";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--bench") == 0) bench = argv[i + 1];
    else if (strcmp(argv[i], "--threads") == 0) threads = atol(argv[i + 1]);
    else if (strcmp(argv[i], "--budget") == 0) budget_ns = atof(argv[i + 1]) * 1e6;
  }
  ids = calloc(threads, sizeof *ids);
  parked = calloc(threads, sizeof *parked);
  if (strcmp(bench, "B1") == 0) {
    stay_on_one_cpu();
    measure(run_yields, threads);
  } else if (strcmp(bench, "B2") == 0) {
    measure(run_batches, threads);
  } else if (strcmp(bench, "B3") == 0) {
    sem_init(&finished, 0, 0);
    start_parked(member);
    measure(run_ring, 1);
  } else if (strcmp(bench, "B7") == 0) {
    double before = resident_bytes();
    start_parked(idle);
    while (atomic_load(&arrived) < threads) sched_yield();
    printf("{\"value\":%.3f}\n", (resident_bytes() - before) / threads);
  } else {
    fprintf(stderr, "--bench %s\n", bench);
    return 2;
  }
  fflush(stdout);
  _exit(0);
}
