# What lavaan and semTools say of models and estimators that the shared reference files leave out.
#
#   Rscript tests/reference/sem.R ../shared > tests/reference/sem.json
suppressPackageStartupMessages({library(jsonlite); library(lavaan); library(semTools)})
shared <- commandArgs(trailingOnly = TRUE)[1]
hs <- read.csv(file.path(shared, "data", "holzinger_swineford_1939", "holzinger.csv"))
ordinal <- read.csv(file.path(shared, "data", "holzinger_swineford_1939", "hs_ord5.csv"))
names(ordinal) <- tolower(names(ordinal))
hs$cluster <- interaction(hs$school, hs$agemo)
missing <- hs
missing$x5[seq(3, 301, by = 5)] <- NA; missing$x9[seq(4, 301, by = 7)] <- NA; missing$x1[seq(6, 301, by = 11)] <- NA
model <- "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"
tight <- list(rel.tol = 1e-15, x.tol = 1e-15, iter.max = 10000)
kept <- c("npar", "chisq", "df", "pvalue", "chisq.scaled", "chisq.scaling.factor", "cfi", "tli", "rmsea", "rmsea.ci.lower",
          "rmsea.ci.upper", "cfi.scaled", "rmsea.scaled", "cfi.robust", "tli.robust", "rmsea.robust", "srmr", "logl",
          "aic", "bic", "baseline.chisq", "baseline.chisq.scaled")
describe <- function(fit) {
  if (!lavInspect(fit, "converged")) return(list(converged = FALSE))
  measures <- fitMeasures(fit)
  table <- parameterEstimates(fit, standardized = TRUE, remove.nonfree = FALSE)
  if (is.null(table$group)) table$group <- 1
  table <- table[table$op %in% c("=~", "~~", "~1", "|"), ]
  standard <- standardizedSolution(fit)
  if (is.null(standard$group)) standard$group <- 1
  key <- function(t) paste(t$lhs, t$op, t$rhs, t$group)
  table$std.se <- standard$se[match(key(table), key(standard))]
  list(fit = as.list(measures[intersect(kept, names(measures))]),
       parameters = table[, c("lhs", "op", "rhs", "group", "est", "se", "std.all", "std.se")])
}
quietly <- function(...) suppressWarnings({
  fit <- cfa(..., control = tight)
  if (lavInspect(fit, "converged")) fit else cfa(...)
})
top <- function(fit, n = 8) head(modindices(fit, sort. = TRUE), n)[, c("lhs", "op", "rhs", "mi", "epc", "sepc.all")]
fits <- list(
  mlm = quietly(model, hs, estimator = "MLM"),
  ulsm = quietly(model, hs, estimator = "ULSM"),
  ulsmv = quietly(model, ordinal, ordered = TRUE, estimator = "ULSMV"),
  dwls = quietly(model, ordinal, ordered = TRUE, estimator = "DWLS"),
  wlsmv = quietly(model, ordinal, ordered = TRUE),
  cluster = quietly(model, hs, estimator = "MLR", cluster = "cluster"),
  survey_weights = quietly(model, transform(hs, w = rep(c(.5, 1, 1.5), length.out = 301)), sampling.weights = "w",
                           estimator = "MLR"),
  weights = quietly(model, hs, estimator = "MLR", sampling.weights = "ageyr"),
  fiml = quietly(model, missing, missing = "fiml"),
  fiml_mlr = quietly(model, missing, missing = "fiml", estimator = "MLR"),
  fiml_groups = quietly(model, missing, missing = "fiml", estimator = "MLR", group = "school", group.equal = "loadings"),
  second_order = quietly(paste0(model, "\ng =~ visual + textual + speed"), hs),
  second_order_restricted = quietly(paste0(model, "\ng =~ a*visual + a*textual + speed"), hs),
  bifactor = quietly("g =~ x1+x2+x3+x4+x5+x6+x7+x8+x9\nt =~ x4+x5+x6\ns =~ x7+x8+x9", hs, orthogonal = TRUE, std.lv = TRUE),
  bounded = suppressWarnings(cfa("g =~ x1+x2+x3+x4+x5+x6+x7+x8+x9\nv =~ x1+x2+x3\nt =~ x4+x5+x6\ns =~ x7+x8+x9", hs,
                                 orthogonal = TRUE, std.lv = TRUE, bounds = "pos.var")),
  syntax = quietly("visual =~ NA*x1 + a*x2 + a*x3 + x9\ntextual =~ x4 + 1.1*x5 + start(0.9)*x6\nspeed =~ x7 + x8 + x9
    visual ~~ 1*visual\nx7 ~~ x8\nvisual ~~ 0*speed\nx1 + x2 ~ 1\nx3 ~ m*1\nx4 ~ m*1", hs),
  labels_by_group = quietly("visual =~ x1 + c(a,a)*x2 + c(b1,b2)*x3\ntextual =~ x4 + x5 + c(1,NA)*x6\nspeed =~ x7 + x8 + x9",
                            hs, group = "school"),
  three_groups = quietly(model, transform(hs, third = pmin(pmax(ageyr, 12), 14)), group = "third",
                         group.equal = c("loadings", "intercepts"), estimator = "MLR"))
groups <- lapply(list(c("loadings"), c("loadings", "intercepts")), function(equal)
  quietly(model, hs, group = "school", group.equal = equal, estimator = "MLR"))
wu <- lapply(list("thresholds", c("thresholds", "loadings")), function(equal) suppressWarnings(measEq.syntax(
  model, data = ordinal, group = "school", ordered = paste0("x", 1:9), parameterization = "delta", ID.fac = "std.lv",
  ID.cat = "Wu.Estabrook.2016", group.equal = equal, return.fit = TRUE)))
difference <- function(a, b, ...) { t <- lavTestLRT(a, b, ...); as.list(unlist(t[2, c("Chisq diff", "Df diff", "Pr(>Chisq)")])) }
result <- list(
  versions = list(R = as.character(getRversion()), lavaan = as.character(packageVersion("lavaan")),
                  semTools = as.character(packageVersion("semTools"))),
  models = lapply(fits, describe),
  modification = list(ml = top(quietly(model, hs)), mlr = top(quietly(model, hs, estimator = "MLR")),
                      wlsmv = top(fits$wlsmv)),
  score = {t <- suppressWarnings(lavTestScore(groups[[2]]))$uni; t[order(-t$X2), ][1:6, c("X2", "p.value")]},
  difference = list(mlr_2001 = difference(groups[[1]], groups[[2]]),
                    mlr_2010 = difference(groups[[1]], groups[[2]], method = "satorra.bentler.2010"),
                    wlsmv_2000 = difference(wu[[1]], wu[[2]])),
  polyserial = {
    mixed <- cbind(hs[paste0("x", 1:3)], ordinal[paste0("x", 7:9)])
    unclass(lavCor(mixed, ordered = paste0("x", 7:9)))[1:3, 4:6]
  },
  ordinal_reliability = as.list(compRelSEM(fits$wlsmv)))
cat(toJSON(result, auto_unbox = TRUE, digits = 12, dataframe = "rows", na = "null"), "\n")
