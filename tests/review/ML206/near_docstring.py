"""Run it as: python train.py --data /home/maria/data"""
