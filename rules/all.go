package rules

// All is every rule, sorted by name.
var All = []*Rule{
	directPath,
	routeStraightToHost,
}
