# %% [markdown]
# # Missing data from the first look to the sensitivity analysis
#
# 301 pupils and nine tests (Holzinger & Swineford 1939), complete in the original. Here some values are removed, so
# that what is recovered can be compared with what was there: pupils with low scores in the tests that stay are more
# likely to miss others, which is missing at random.

# %%
import fosa_sem as fs

pupils = fs.datasets.load_holzinger_swineford()[["ageyr", *(f"x{i}" for i in range(1, 10))]].dropna()
patterns = [[1, 1, 1, 0, 1, 1, 1, 1, 1, 0], [1, 0, 1, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]]
data = fs.ampute(pupils, 0.45, "MAR", patterns=patterns, type="LEFT", seed=11)

# %% [markdown]
# ## What is missing where, and does it look random?
#
# Means differ between rows with and without a value, and Little's test says so: values are not missing completely at
# random. Neither can say whether they are missing at random.

# %%
print(fs.md_pattern(data).to_string())
print(fs.influx_outflux(data).round(2).to_string())
print(fs.compare_missing(data).sort_values("smd", key=abs, ascending=False).head(6).round(2).to_string())
print(fs.mcar_test(data))
fs.plot_patterns(data).savefig("patterns.png")

# %% [markdown]
# ## Full-information maximum likelihood, and multiple imputation
#
# Both rest on the same model and the same assumption; they agree but for the chance of the draws.

# %%
model = """
visual  =~ x1 + x2 + x3
textual =~ x4 + x5 + x6
speed   =~ x7 + x8 + x9
speed ~ b*visual + t*textual
visual + textual ~ ageyr
"""
fit = fs.sem(model, data, fixed_x=False)
imputations = fit.multiple_imputations(m=20, seed=4)
pooled = imputations.fit(model, fixed_x=False)
complete = fs.sem(model, pupils, fixed_x=False)
for name, results in (("complete data", complete), ("FIML", fit), ("imputations", pooled)):
    table = results.parameter_estimates()
    row = table[table["label"] == "b"].iloc[0]
    print(f"{name:14} b = {row['est']:.3f}, standard error {row['se']:.3f}")
fs.plot_densities(imputations).savefig("densities.png")
fs.plot_pooling(pooled).savefig("pooling.png")

# %% [markdown]
# ## And if values are not missing at random?
#
# Say those who missed the last test would have scored lower, or higher, than the model expects: how far must they
# differ before a conclusion changes? The data cannot say which shift is right; they say which would matter.

# %%
sensitivity = fs.sensitivity(
    imputations, model, {"x9": [-1.5, -1.0, -0.5, 0.5, 1.0]}, unit="sd", terms=["speed ~ visual", "speed ~ textual"],
    fixed_x=False,
)  # fmt: skip
print(sensitivity)
fs.plot_sensitivity(sensitivity).savefig("sensitivity.png")

# %% [markdown]
# ## The report
#
# Everything above in one page, with a checklist of what a reader must be told. What only the analyst can say is printed
# as not stated unless it is given.

# %%
page = fit.report(
    "missing_data_report.html",
    imputations=imputations, pooled=pooled, sensitivity=sensitivity,
    statements={"Known reasons for missing values": "removed on purpose, by scores that stay in the data"},
)  # fmt: skip
print(f"written: {page}")
