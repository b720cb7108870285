# The commands of the project; each is a script in tools/ with its own notes.
#   make dev     PORT=8787 SANDBOX_PORT=8788 STATE=.state
#   make demo    with the same variables, while `make dev` runs
#   make test
#   make deploy  DRY=1 to see what is missing without an account
#   make bench
#   make model
#   make storm   SEED=1 OPS=10000 KILLS=20
#   make soak    SEED=1 ORDERS=2000
# What is given on the command line reaches the script by its environment, and nothing else does.

.PHONY: dev demo test deploy bench model storm soak build setup clean
dev demo test bench model storm soak deploy build setup:
	@tools/$@
clean:
	rm -rf build target .state .wrangler
