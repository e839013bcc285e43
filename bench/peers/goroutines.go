// Peer "go": goroutines. B1, B2 and B3 in ns an operation, B7 in resident bytes a goroutine.
// The same options, the same time budget and the same report as the other programs: see measure.ts.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

var (
	bench    = flag.String("bench", "", "")
	threads  = flag.Int("threads", 1000, "")
	budgetMs = flag.Float64("budget", 600, "")
)

// measure is as the meter of measure.ts, but for a compiler's shorter warm-up: run does the rounds and returns how long they took.
func measure(run func(rounds int) time.Duration, operationsARound int) {
	budget := time.Duration(*budgetMs * 1e6)
	rounds := 1
	elapsed := run(rounds)
	for elapsed < budget/5 && rounds < 1<<30 {
		rounds *= 2
		elapsed = run(rounds)
	}
	rounds = int(float64(rounds) * float64(budget) / float64(elapsed))
	if rounds < 1 {
		rounds = 1
	}
	elapsed = run(rounds)
	fmt.Printf("{\"value\":%.3f}\n", float64(elapsed.Nanoseconds())/float64(rounds)/float64(operationsARound))
}

// runYields is B1: the clock starts when every goroutine runs and stops when the last has made its yields.
func runYields(rounds int) time.Duration {
	var begun time.Time
	var all sync.WaitGroup
	all.Add(*threads)
	for i := 0; i < *threads; i++ {
		first := i == 0
		go func() {
			runtime.Gosched()
			if first {
				begun = time.Now()
			}
			for i := 0; i < rounds; i++ {
				runtime.Gosched()
			}
			all.Done()
		}()
	}
	all.Wait()
	return time.Since(begun)
}

// runBatches is B2.
func runBatches(rounds int) time.Duration {
	begun := time.Now()
	for round := 0; round < rounds; round++ {
		var all sync.WaitGroup
		all.Add(*threads)
		for i := 0; i < *threads; i++ {
			go func() { all.Done() }()
		}
		all.Wait()
	}
	return time.Since(begun)
}

// ring is B3: parked is receiving from a channel of one's own.
func ring() {
	parked := make([]chan struct{}, *threads)
	for i := range parked {
		parked[i] = make(chan struct{})
	}
	finished := make(chan struct{})
	passesLeft := 0
	for i := range parked {
		own, next := parked[i], parked[(i+1)%*threads]
		go func() {
			for {
				<-own
				passesLeft--
				if passesLeft > 0 {
					next <- struct{}{}
				} else {
					finished <- struct{}{}
				}
			}
		}()
	}
	measure(func(passes int) time.Duration {
		passesLeft = passes
		begun := time.Now()
		parked[0] <- struct{}{}
		<-finished
		return time.Since(begun)
	}, 1)
}

func residentBytes() int {
	runtime.GC()
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	var total, resident int
	if _, err := fmt.Fscan(f, &total, &resident); err != nil {
		panic(err)
	}
	return resident * os.Getpagesize()
}

// idle is B7: a goroutine that receives from a channel somebody else can send on.
func idle() {
	parked := make([]chan struct{}, *threads)
	var started sync.WaitGroup
	started.Add(*threads)
	before := residentBytes()
	for i := range parked {
		own := make(chan struct{})
		parked[i] = own
		go func() {
			started.Done()
			<-own
		}()
	}
	started.Wait()
	bytes := float64(residentBytes()-before) / float64(*threads)
	fmt.Printf("{\"value\":%.3f}\n", bytes)
	for i := range parked {
		close(parked[i])
	}
}

func main() {
	flag.Parse()
	switch *bench {
	case "B1":
		runtime.GOMAXPROCS(1)
		measure(runYields, *threads)
	case "B2":
		measure(runBatches, *threads)
	case "B3":
		ring()
	case "B7":
		idle()
	default:
		fmt.Fprintln(os.Stderr, "--bench", *bench)
		os.Exit(2)
	}
}
