package daemon

// For the tests: what a technician is told of a permit that is refused.
var AboutPermit = aboutPermit
