# Omega of the reference surveys with R's optimisers driven to their end.
#
#   Rscript tests/reference/omega.R ../shared > tests/reference/omega.json
#
# reference.json was made with default tolerances: lavaan stops at a relative change of 1e-10 of its objective,
# psych::fa at 1e7 machine epsilons (optim's factr) and GPArotation at a gradient of 1e-5. The values here are what
# the same packages say once they go on; nothing else is changed.
suppressPackageStartupMessages({library(jsonlite); library(lavaan); library(psych); library(GPArotation)})
shared <- commandArgs(trailingOnly = TRUE)[1]
files <- c(holzinger_swineford_1939 = "holzinger.csv", bfi = "bfi.csv.gz",
           satisfaction_es_bank = "satisfaction.csv", mobi_ecsi = "mobi.csv")
reversed <- list(bfi = c("A1", "C4", "C5", "E1", "E2", "O2", "O5"))

# psych's own functions, calling optim() and the rotation with tighter limits.
tight <- new.env(parent = asNamespace("psych"))
tight$optim <- function(..., control = list())
  stats::optim(..., control = modifyList(control, list(factr = 1, pgtol = 0, maxit = 100000)))
for (name in c("fac", "faRotations", "schmid", "omegah")) {
  changed <- getFromNamespace(name, "psych")
  environment(changed) <- tight
  assign(name, changed, envir = tight)
}
tight$`::` <- function(package, name) {
  found <- getExportedValue(deparse(substitute(package)), deparse(substitute(name)))
  if (deparse(substitute(name)) != "oblimin") return(found)
  function(...) found(..., eps = 1e-7, maxit = 10000)
}
tight$fa <- psych::fa; environment(tight$fa) <- tight

# lavaan's own solution, then Newton steps with lavaan's own gradient and Hessian until the gradient vanishes.
one_factor <- function(data, items) {
  fit <- suppressWarnings(cfa(paste("f =~", paste(items, collapse = " + ")), data, std.lv = TRUE))
  for (step in 1:4) {
    change <- solve(lavInspect(fit, "hessian"), as.numeric(lavInspect(fit, "gradient")))
    table <- parTable(fit)
    table$ustart[table$free > 0] <- table$est[table$free > 0] - change
    table[c("est", "se", "start")] <- NULL
    fit <- suppressWarnings(lavaan(table, data, do.fit = FALSE))
  }
  x <- lavInspect(fit, "est")
  list(omega = sum(x$lambda)^2 / sum(lavInspect(fit, "sampstat")$cov), improper = any(diag(x$theta) < 0),
       gradient = max(abs(lavInspect(fit, "gradient"))))
}

result <- list(versions = list(R = as.character(getRversion()), lavaan = as.character(packageVersion("lavaan")),
                               psych = as.character(packageVersion("psych")),
                               GPArotation = as.character(packageVersion("GPArotation"))))
for (dataset in names(files)) {
  reference <- fromJSON(file.path(shared, "data", dataset, "reference.json"), simplifyMatrix = FALSE)
  data <- read.csv(file.path(shared, "data", dataset, files[[dataset]]))
  for (item in reversed[[dataset]]) data[[item]] <- 7 - data[[item]]
  scales <- lapply(reference$scales, unlist)
  long <- scales[lengths(scales) >= 3]
  items <- unlist(reference$efa_minres_oblimin$loadings$rows)
  complete <- na.omit(data[items])
  found <- tight$omegah(complete, nfactors = reference$omega_all_items$nfactors, plot = FALSE, fm = "minres")
  result[[dataset]] <- list(
    scales = lapply(long, function(items) one_factor(na.omit(data[items]), items)),
    all = list(omega_hierarchical = found$omega_h, omega_total = found$omega.tot))
}
cat(toJSON(result, auto_unbox = TRUE, digits = 12, pretty = TRUE), "\n")
