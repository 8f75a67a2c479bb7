package trust

// Walk goes from a trusted root to the newest one of the bundle, as Chain does. On an error the trusted root returns.
func Walk(trusted Root, b Bundle) (Root, error) {
	roots, err := b.follow(trusted)
	if err != nil || len(roots) == 0 {
		return trusted, err
	}
	return roots[len(roots)-1].At(trusted.is().device), nil
}
