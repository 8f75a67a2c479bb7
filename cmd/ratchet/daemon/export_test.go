package daemon

var (
	// AboutPermit is what a technician is told of a permit that is refused.
	AboutPermit = aboutPermit
	// Until runs an agent and what ends all else.
	Until = until
	// RunLooking is Run that looks for what is missing as often as it is told to.
	RunLooking = run
)
